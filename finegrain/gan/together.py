"""Saving and stopping where several processes train one generator."""

from finegrain.engine.interrupt import Interrupt, Interrupted
from finegrain.gan.trainer import GeneratorTrainer, Keeper
from finegrain.runtime import Runtime


class Together:
    """A keeper that lets the first process alone save, and all stop after the same step."""

    def __init__(self, keeper: Keeper, *, interrupt: Interrupt, runtime: Runtime) -> None:
        self._keeper, self._interrupt, self._runtime = keeper, interrupt, runtime

    def save(self, trainer: GeneratorTrainer, *, kept: bool) -> None:
        """See `Keeper.save`."""
        if self._runtime.replicas.leads:
            self._keeper.save(trainer, kept=kept)

    def stop_if_asked(self, trainer: GeneratorTrainer, *, saved: bool = False) -> None:
        """See `Keeper.stop_if_asked`: a signal to one process is one to all."""
        replicas = self._runtime.replicas
        self._interrupt.signal = replicas.largest(self._interrupt.signal or 0, self._runtime.device) or None
        if replicas.leads:
            self._keeper.stop_if_asked(trainer, saved=saved)
        elif self._interrupt.signal is not None:
            raise Interrupted(self._interrupt.signal, where=trainer.place)
