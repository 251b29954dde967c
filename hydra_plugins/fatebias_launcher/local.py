"""Sweep members one after the other in this process; no failure hides another."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, filter_overrides

from fatebias.cli import to_config
from fatebias.errors import ConfigError, FatebiasError, SweepError

# A plain dict: Hydra executes a plugin before the module is in sys.modules, where dataclasses look for it.
ConfigStore.instance().store(
    group="hydra/launcher",
    name="local",
    node={"_target_": "hydra_plugins.fatebias_launcher.local.LocalLauncher"},
    provider="fatebias",
)


class LocalLauncher(BasicLauncher):
    """Hydra's basic launcher, with every member's values checked first and every failure named at the end."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the members of a sweep.

        Parameters
        ----------
        job_overrides
            The words of each member.
        initial_job_idx
            Number of the first.

        Returns
        -------
        sequence of JobReturn
            One a member, all completed.

        Raises
        ------
        ConfigError
            When a member has a value that cannot be used; none has run then.
        SweepError
            When a member failed; all others have run.
        """
        total = f"{len(job_overrides)} runs of the sweep"
        labels = [
            f"#{number} {' '.join(filter_overrides(words))}".rstrip()
            for number, words in enumerate(job_overrides, start=initial_job_idx)
        ]
        refusals = [self._refusal(words) for words in job_overrides]
        refused = [f"{label}: {why}" for label, why in zip(labels, refusals, strict=True) if why]
        if refused:
            raise ConfigError(
                "\n".join([f"{len(refused)} of {total} are refused, none was started", *refused])
            )
        results = super().launch(job_overrides, initial_job_idx)
        failed = [
            f"{label}: {_first_line(result)}\n  log: {_log_file(result)}"
            for label, result in zip(labels, results, strict=True)
            if result.status == JobStatus.FAILED
        ]
        if failed:
            raise SweepError("\n".join([f"{len(failed)} of {total} failed", *failed]))
        return results

    def _refusal(self, words: Sequence[str]) -> FatebiasError | None:
        assert self.hydra_context is not None
        assert self.config is not None
        before = HydraConfig.instance().cfg
        member = self.hydra_context.config_loader.load_sweep_config(self.config, list(words))
        HydraConfig.instance().set_config(member)
        try:
            to_config(member)
        except FatebiasError as error:
            return error
        finally:
            HydraConfig.instance().cfg = before
        return None


def _first_line(result: JobReturn) -> str:
    # Not the property without the underscore: it raises for a failed job.
    error = result._return_value
    return (str(error) or type(error).__name__).partition("\n")[0]


def _log_file(result: JobReturn) -> str:
    assert result.hydra_cfg is not None
    hydra = result.hydra_cfg.hydra
    return f"{hydra.runtime.output_dir}/{hydra.job.name}.log"
