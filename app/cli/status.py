"""`novahouse status`: the whole of delivery on one screen."""

import typer

from app.alerts import channel_service as service
from app.alerts.channel_schemas import JobOut, StatusOut
from app.cli.channels import channel_table
from app.cli.desk import once
from app.cli.limits import limit_table
from app.cli.output import age, since, table
from app.core import clock


def show(*, as_json: bool) -> None:
    """Print it. Ends the command with one line when it cannot be known."""
    found = once(
        lambda session, desk: service.status(
            session,
            configured=desk.settings.configured_channels,
            scheduler_enabled=desk.settings.scheduler_enabled,
            rate_limits=desk.settings.rate_limits,
        )
    )
    stands = StatusOut.model_validate(found, from_attributes=True)
    if as_json:
        typer.echo(stands.model_dump_json())
        return
    typer.echo(channel_table(stands.channels))
    letters = stands.dead_letters
    typer.echo(f"\nDead letters: {letters.pending} tried again, {letters.failed} given up.\n")
    if any(limit.limited for limit in stands.rate_limits):
        typer.echo(f"{limit_table(stands.rate_limits)}\n")
    if not stands.scheduler_enabled:
        typer.echo("SCHEDULER_ENABLED is off here: these jobs run only where it is on.")
    if not stands.jobs:
        typer.echo("No scheduled job has run: is a worker running?")
        return
    now = clock.now()
    typer.echo(
        table(
            ("JOB", "EVERY", "LAST SUCCESS", "ROWS", "STATE"),
            [
                (job.name, age(job.every_seconds), since(job.succeeded_at, now), job.last_count, _state(job))
                for job in stands.jobs
            ],
        )
    )


def _state(job: JobOut) -> str:
    return (
        ", ".join([*(["overdue"] if job.overdue else []), *([f"failed: {job.last_error}"] if job.last_error else [])])
        or "ok"
    )
