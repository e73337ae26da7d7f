"""mmengine's loop over iterations, made restartable: data resume where they stopped; validate, then save."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_world_size
from mmengine.registry import LOOPS
from mmengine.runner import IterBasedTrainLoop


@LOOPS.register_module()
class RestartableLoop(IterBasedTrainLoop):
    """As IterBasedTrainLoop, with three differences.

    After a restart the sampler is told how many draws are taken, instead of loading and throwing away what was
    learned from before. And hooks have one more point, `after_step`, when the iteration and the validation that may
    follow it are both done: saved there, a state resumes to the same end. It ends early where `stop_training` is set.

    Args:
        patience: validations in a row without a new best score after which training ends (detector.hooks.StateHook
            counts them); 0 for none. The learning rate follows its whole schedule all the same.
    """

    def __init__(self, *args: Any, patience: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patience = patience

    def run(self) -> Any:
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        sampler = self.dataloader.sampler
        sampler.start = self._iter * self.dataloader.batch_size * get_world_size()
        batches = iter(self.dataloader)
        while self._iter < self._max_iters and not self.stop_training:
            runner.model.train()
            self.run_iter(next(batches))
            done = self._iter == self._max_iters
            if runner.val_loop is not None and (done or self._iter % self.val_interval == 0):
                runner.val_loop.run()
            runner.call_hook("after_step")
        del batches  # ends the workers
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model
