"""What ways to damage are worth: how many sources become samples, how many labels hold a fault, at what cost."""
