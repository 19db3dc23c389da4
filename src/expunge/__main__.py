"""`python -m expunge` is the same as `expunge`."""

from expunge.cli import app

if __name__ == "__main__":
    app()
