"""Shadow models trained by workers of Ray, several at a time, on this machine or on many.

Each worker trains as this process would: the same weights, halves and orders are drawn, so the networks are the same but for
rounding, where torch sums in another number of threads or stacks other networks. A network is kept here as soon as it is done,
and a killed run trains only those again that were not.

Where Ray runs already, as after `ray.init("auto")` on a cluster, its workers are taken; expunge must be there. Else as
many as are asked for are started on this machine, without a dashboard and with all their files in a temporary folder, and ended
when the last network is done. Ray is the extra `distributed`.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from expunge.engine import Engine
from expunge.errors import BadSetting, MissingExtra
from expunge.storage import copied

if TYPE_CHECKING:
    from expunge.audits.shadows.training import Made, Work


def spread(work: "Work", numbers: Sequence[int], key: str, workers: int) -> Iterator["Made"]:
    """Train some shadows, by so many workers at a time; they come as they are done.

    Raises:
        MissingExtra: if Ray is not installed.
        BadSetting: if this is one of several processes that train together.
    """
    ray, engine = _ray(), work.engine
    if engine.processes > 1:
        raise BadSetting(f"{engine.processes} processes train together; Ray spreads what one process trains alone")
    if not numbers:
        return
    with _running(ray, workers):
        order = ray.put(_Order.of(work, key, workers))
        task = ray.remote(_trained).options(num_cpus=1, num_gpus=_gpus(ray, engine, workers))
        left, under_way, told = _shares(work, numbers, workers), list[Any](), dict[int, Any]()
        while left or under_way:
            while left and len(under_way) < workers:
                under_way.append(task.remote(order, left.pop(0)))
            done, under_way = ray.wait(under_way)
            for number, model, history in ray.get(done[0]):
                told[number] = history
                yield number, model.to(engine.device).eval(), history
    for number in numbers:  # in their order, whichever was done first
        engine.history += told[number]


@dataclass(frozen=True)
class _Order:
    """What a worker must know: the work without its engine, and what makes an engine that draws the same."""

    work: "Work"
    key: str
    settings: Mapping[str, Any]
    scopes: tuple[str, ...]
    threads: int

    @classmethod
    def of(cls, work: "Work", key: str, workers: int) -> "_Order":
        engine, blank = work.engine, copied(work.blank).cpu()
        settings = {"seed": engine.seed, "device": engine.device_choice, "precision": engine.precision}
        scopes = tuple(engine.full_name("").split("/")[:-1])
        threads = max(1, torch.get_num_threads() // workers)
        return cls(replace(work, engine=None, blank=blank), key, settings, scopes, threads)  # type: ignore[arg-type]


def _trained(order: _Order, numbers: Sequence[int]) -> list["Made"]:
    """What one worker does. It writes nothing; the networks come back on the CPU."""
    torch.set_num_threads(order.threads)
    engine = Engine(**order.settings, progress=False)
    with ExitStack() as scopes:
        for name in order.scopes:
            scopes.enter_context(engine.scope(name))
        work = replace(order.work, engine=engine, blank=order.work.blank.to(engine.device))
        return [(number, model.cpu(), history) for number, model, history in work.trained(numbers, order.key)]


def _shares(work: "Work", numbers: Sequence[int], workers: int) -> list[Sequence[int]]:
    """The numbers in parts, each for one call: single ones, or as many as are trained as one."""
    size = 1 if work.reason else -(-len(numbers) // workers)
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def _gpus(ray: Any, engine: Engine, workers: int) -> float:
    """The share of a GPU for each worker; 0 on the CPU."""
    if engine.device.type == "cpu":
        return 0
    return float(min(1.0, ray.cluster_resources().get("GPU", 0) / workers))


@contextmanager
def _running(ray: Any, workers: int) -> Iterator[None]:
    """Ray as it runs, or one of our own for as long as the block lasts."""
    if ray.is_initialized():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of what Ray will do with GPUs of those who ask for none
            ray.init(
                "local",
                num_cpus=workers,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=folder,
            )
        try:
            yield
        finally:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("training shadows by several workers needs Ray: pip install 'expunge[distributed]'") from error
    return ray
