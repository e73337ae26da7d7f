"""Segmentation of visible artifacts: mmsegmentation over shards. Heavy libraries load in the modules that use them."""
