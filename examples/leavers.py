"""People leave: everything that they gave must go, and a file says whose each training row is.

Writes the two CSV files and the job file that such a request needs into runs/leavers, and runs the job, just as
`expunge run runs/leavers/job.yaml --out runs/leavers/result` would. Run it with:  python examples/leavers.py
"""

from pathlib import Path

from sklearn.cluster import KMeans

from expunge.data import load
from expunge.report.terminal import print_summary
from expunge.studies.job import read_job
from expunge.studies.run import run

FOLDER = Path("runs/leavers")
LEAVERS = ("writer-33", "writer-35")
JOB = f"""\
title: Two writers leave
data: {{name: digits, columns: {FOLDER}/people.csv}}
model: {{name: mlp}}
training: {{epochs: 20, optimizer: {{kind: adam, learning_rate: 0.002}}}}
request: {{column: user_id, values_in: {FOLDER}/leavers.csv}}
methods:
  - neggrad-plus
  - salun
  - {{method: retrain, epochs: 20, optimizer: {{kind: adam, learning_rate: 0.002}}}}
deliver: retrain
"""


def writers() -> list[str]:
    """Whose each training row is. The digits do not say, so images that look alike are given to one writer."""
    pixels = load("digits").train.inputs.flatten(1).numpy()
    return [f"writer-{number:02}" for number in KMeans(40, n_init=1, random_state=0).fit_predict(pixels)]


def main() -> None:
    """Write the files, run the job, print its summary."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "people.csv").write_text("\n".join(["user_id", *writers()]) + "\n")
    (FOLDER / "leavers.csv").write_text("\n".join(["user_id", *LEAVERS]) + "\n")
    (FOLDER / "job.yaml").write_text(JOB)

    evidence = run(read_job(FOLDER / "job.yaml"), FOLDER / "result", overwrite=True)
    print_summary(evidence)
    print(f"\nModel:  {FOLDER / 'result' / 'model.safetensors'}\nReport: {FOLDER / 'result' / 'report.html'}")


if __name__ == "__main__":
    main()
