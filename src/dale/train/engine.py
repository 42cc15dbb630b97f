"""Where the tensors live and in which precision the forward pass runs."""

from typing import Annotated, Any, Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from dale.errors import InputError
from dale.train.specs import Spec


class EngineSpec(Spec):
    """The part of a recipe about devices and precision.

    Args:
        device: ``"auto"`` takes the first GPU when there is one.
        precision: Of the forward pass; weights and updates stay float32.
        clip: Largest global norm of the gradient, or None.
        channels_last: Store images with channels innermost.
        threads: CPU threads while training; sums come out in another order, and so
            in other last bits, with another number of them.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    clip: Annotated[float, Field(gt=0)] | None = None
    channels_last: bool = False
    threads: Annotated[int, Field(ge=1)] | None = None


class Engine:
    """Accelerate moves tensors and scales losses; the clock stays with the loop.

    Args:
        spec: Device and precision.

    Raises:
        InputError: The device or the precision is not available here.
    """

    def __init__(self, spec: EngineSpec) -> None:
        if spec.device == "cuda" and not torch.cuda.is_available():
            raise InputError("engine.device is cuda, but torch sees no CUDA device")
        cpu = spec.device == "cpu" or not torch.cuda.is_available()
        if cpu and spec.precision == "fp16":
            raise InputError("engine.precision fp16 needs a GPU; bf16 works on CPUs")
        mixed = {"fp32": "no"}.get(spec.precision, spec.precision)
        self.spec = spec
        self._accelerator = _accelerator(cpu, mixed)
        self.device: torch.device = self._accelerator.device

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> tuple[Any, Any]:
        """The model to call and the optimiser to step."""
        if self.spec.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        call = self._accelerator.prepare(model)
        if self._accelerator.scaler is None:
            # the wrapper only serves the loss scaler, and costs a small network
            # as much as the update itself
            return call, optimizer
        return call, self._accelerator.prepare(optimizer)

    def seed(self, value: int) -> None:
        """Seed the generators that a forward pass may draw from, such as dropout's."""
        # torch.manual_seed also queues the seed for devices that are not there, with
        # a formatted traceback each
        torch.default_generator.manual_seed(value)
        if self.device.type == "cuda":
            torch.cuda.manual_seed_all(value)

    def place(self, inputs: Tensor) -> Tensor:
        """A batch on the device, in the memory format asked for."""
        if self.spec.channels_last and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs.to(self.device, non_blocking=True)

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss, scaled where the precision asks for it."""
        self._accelerator.backward(loss)

    def clip(self, model: nn.Module) -> None:
        """Clip the global gradient norm when the recipe asks for it."""
        if self.spec.clip is not None:
            self._accelerator.clip_grad_norm_(model.parameters(), self.spec.clip)

    @property
    def scaler_state(self) -> dict[str, Any]:
        """State of the loss scaler, empty unless the precision is fp16."""
        scaler = self._accelerator.scaler
        return scaler.state_dict() if scaler is not None else {}

    def load_scaler_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        if self._accelerator.scaler is not None and state:
            self._accelerator.scaler.load_state_dict(state)


def _accelerator(cpu: bool, mixed: str) -> Accelerator:
    try:
        return Accelerator(cpu=cpu, mixed_precision=mixed)
    except ValueError:
        # Accelerate keeps the first settings of a process and refuses others; runs
        # of one process may differ
        AcceleratorState._reset_state(reset_partial_state=True)
        return Accelerator(cpu=cpu, mixed_precision=mixed)
