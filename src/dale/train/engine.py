"""Where the tensors live, in which precision the forward pass runs, in how many parts.

An update is made in parts: each process has a share of the batch, and makes it in one
or more microbatches.
"""

from contextlib import nullcontext
from copy import deepcopy
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from dale.errors import InputError
from dale.train import sharding
from dale.train.accelerator import accelerator
from dale.train.specs import Spec
from dale.train.team import Team
from dale.weights import Weights


class EngineSpec(Spec):
    """The part of a recipe about devices, precision and how an update is made.

    Args:
        device: ``"auto"`` takes the first GPU when there is one.
        precision: Of the forward pass; weights and updates stay float32.
        accumulate: Microbatches that a process makes of its share of a batch; the
            gradient is that of the whole batch, and an update stays an update.
        clip: Largest global norm of the gradient, or None.
        compile: Compile the network for training with ``torch.compile``.
        channels_last: Store images with channels innermost.
        shard: With several processes, keep a share of the weights and of the
            optimiser's state in each (FSDP).
        sync_batchnorm: With several GPUs, measure batch normalisation over all.
        stack: Whether small networks trained for equally long are trained at once,
            their weights stacked: never, always where that can be done, or where a
            pilot at the start finds it faster (``"auto"``). Results agree with those
            of training one after another but for rounding, not bit for bit.
        threads: CPU threads while training; sums come out in another order, and so
            in other last bits, with another number of them.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    accumulate: Annotated[int, Field(ge=1)] = 1
    clip: Annotated[float, Field(gt=0)] | None = None
    compile: bool = False
    channels_last: bool = False
    shard: bool = False
    sync_batchnorm: bool = False
    stack: Literal["never", "auto", "always"] = "never"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None


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
        if cpu and spec.sync_batchnorm:
            raise InputError("engine.sync_batchnorm needs GPUs; leave it out on CPUs")
        if spec.shard and spec.precision == "fp16":
            raise InputError("engine.shard scales no losses; use fp32 or bf16")
        mixed = {"fp32": "no"}.get(spec.precision, spec.precision)
        self.spec = spec
        self._accelerator = accelerator(cpu, mixed)
        self.device: torch.device = self._accelerator.device
        rank, size = self._accelerator.process_index, self._accelerator.num_processes
        self.team = Team(rank, size, self.device)
        self.sharded = spec.shard and size > 1

    @property
    def parts(self) -> int:
        """Parts that a batch is cut into: processes times microbatches."""
        return self.team.size * self.spec.accumulate

    @property
    def mine(self) -> slice:
        """Which of the parts are this process's."""
        start = self.team.rank * self.spec.accumulate
        return slice(start, start + self.spec.accumulate)

    def place_model(self, model: nn.Module) -> nn.Module:
        """The model on the device, sharded if asked for; before its optimiser."""
        model = model.to(self.device)
        if self.spec.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.spec.sync_batchnorm and self.team.size > 1:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        if self.sharded:
            sharding.shard(model, self.team.size, self.device)
        return model

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> tuple[Any, Any]:
        """The model to call and the optimiser to step."""
        if self.sharded:
            # shards reduce their own gradients: only the precision is wanted here
            call = self._accelerator.prepare_model(model, evaluation_mode=True)
        else:
            call = self._accelerator.prepare(model)
        if self.spec.compile:
            # one graph for each of the few sizes of a batch: which is compiled first
            # must not matter to a run that is resumed
            call = torch.compile(call, dynamic=False)
        if self._accelerator.scaler is None:
            # the wrapper only serves the loss scaler, and costs a small network
            # as much as the update itself
            return call, optimizer
        return call, self._accelerator.prepare(optimizer)

    def twin(self, model: nn.Module) -> nn.Module | None:
        """An unsharded copy to score and take members from, where shards need one."""
        if not (self.sharded and self.team.first):
            return None
        twin = deepcopy(model).to(self.device)
        return self._accelerator.prepare_model(twin, evaluation_mode=True)

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

    def apart(self, call: Any, last: bool) -> Any:
        """Where gradients are not yet exchanged, unless this is the last part."""
        if last or self.team.size == 1 or self.sharded:
            return nullcontext()
        return self._accelerator.no_sync(call)

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss, scaled where the precision asks for it."""
        self._accelerator.backward(loss)

    def clip(self, model: nn.Module) -> None:
        """Clip the global gradient norm when the recipe asks for it."""
        if self.spec.clip is None:
            return
        if self.sharded:
            nn.utils.clip_grad_norm_(model.parameters(), self.spec.clip)
        else:
            self._accelerator.clip_grad_norm_(model.parameters(), self.spec.clip)

    def whole(self, state: Any) -> Any:
        """A state without shards; all processes must ask for it together."""
        return sharding.whole(state) if self.sharded else state

    def load_weights(self, model: nn.Module, weights: Weights) -> None:
        """Put whole weights into the model."""
        sharding.load_weights(model, weights)

    @property
    def scaler_state(self) -> dict[str, Any]:
        """State of the loss scaler, empty unless the precision is fp16."""
        scaler = self._accelerator.scaler
        return scaler.state_dict() if scaler is not None else {}

    def load_scaler_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        if self._accelerator.scaler is not None and state:
            self._accelerator.scaler.load_state_dict(state)
