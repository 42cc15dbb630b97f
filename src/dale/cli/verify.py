"""``dale verify``: is a run, or a merged folder, whole?"""

import typer

from dale.cli import app
from dale.cli.common import JSON, RUN, count, err, out, show_json


@app.command()
def verify(run: RUN, json: JSON = False) -> None:
    """Read every file of a run or a merged folder and hold it against its digest."""
    from dale.merge.manifest import MANIFEST, refuse_unlisted, verified_folder
    from dale.merge.unfinished import refuse_unfinished
    from dale.recipes import Checked
    from dale.recipes import verify as verified
    from dale.store import Run

    refuse_unfinished(run)
    if (run / MANIFEST).exists():
        files, lines = verified_folder(run)
        found = Checked(files, tuple(lines), ())
    else:
        refuse_unlisted(run)
        found = verified(Run(run))
    if json:
        show_json(
            {
                "files": found.files,
                "problems": list(found.problems),
                "notes": list(found.notes),
            }
        )
    else:
        for problem in found.problems:
            err.print(problem, style="red", soft_wrap=True)
        for note in found.notes:
            err.print(note, soft_wrap=True)
        state = count(len(found.problems), "problem") if found.problems else "whole"
        out.print(f"{found.files} files read: {state}")
    if found.problems:
        raise typer.Exit(1)
