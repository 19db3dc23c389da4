"""What is known about rows beside their content: CSV files with a line for each row, and lists of values to forget."""

import csv
import io
from pathlib import Path

import numpy as np

from expunge.data.published import read_failed
from expunge.errors import BadFile


def read_columns(csv_path: str | Path, rows: int | None) -> dict[str, np.ndarray]:
    """Read a CSV file with a header and one line for each row of the training set, in the same order.

    Args:
        csv_path: UTF-8, separated by commas. Empty lines are passed over.
        rows: the number of rows that it must have; any when None.

    Returns:
        the values under each name of the header, as strings without blanks at their ends; shape (rows,).

    Raises:
        BadFile: if the file is not such a file, or has another number of lines.
    """
    path = Path(csv_path)
    (_, header), *lines = _read(path) or [(0, [])]
    if not header:
        raise BadFile(f"{path} is empty: expected a header and one line for each training row")
    check_lines(path, header, lines)
    if rows is not None and len(lines) != rows:
        raise BadFile(
            f"{path} has {len(lines):,} lines below its header, but the training set has {rows:,} rows: "
            "expected one line for each row, in the same order"
        )
    return {name: np.array([line[place] for _, line in lines], dtype=str) for place, name in enumerate(header)}


def check_lines(path: Path, header: list[str], lines: list[tuple[int, list[str]]]) -> None:
    """See that every column has a name of its own, and every numbered line a value for each.

    Raises:
        BadFile: naming the header or the line that does not.
    """
    for name in header:
        if not name or header.count(name) > 1:
            raise BadFile(f"{path}: every column needs a name of its own, but the header is {','.join(header)}")
    for number, line in lines:
        if len(line) != len(header):
            raise BadFile(
                f"{path}, line {number:,}: {len(line)} values, but the header names {len(header)} columns ({','.join(header)})"
            )


def read_values(path: str | Path, column: str | None = None) -> list[str]:
    """Read a list of values: one a line, or those of one column of a CSV file.

    Args:
        path: UTF-8. What ends in ``.csv`` is split at commas, with a header; of anything else each line is one value.
        column: the column to read. A CSV file of single values may lack its header; a plain list may begin with it.

    Returns:
        the values in their order, without blanks at their ends, empty ones and repetitions.

    Raises:
        BadFile: if the file has several columns and none of that name, or no values.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        values = _column([line for _, line in _read(path)], column, path)
    else:
        values = [line.strip() for line in read_text(path).splitlines()]
        values = values[1:] if values and values[0] == column else values
    values = [value for value in dict.fromkeys(values) if value]
    if not values:
        raise BadFile(f"{path} lists no values: expected one a line")
    return values


def _column(lines: list[list[str]], column: str | None, path: Path) -> list[str]:
    header = lines[0] if lines else []
    if column is not None and column in header:
        place = header.index(column)
        return [line[place] for line in lines[1:] if len(line) > place]
    if all(len(line) == 1 for line in lines):
        return [line[0] for line in lines]
    wanted = f"none is named '{column}'" if column is not None else "state which one holds the values"
    raise BadFile(f"{path} has {len(header)} columns ({', '.join(header)}); {wanted}")


def _read(path: Path) -> list[tuple[int, list[str]]]:
    """The lines that are not empty, each with its number from 1, split at commas and stripped."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        return [(reader.line_num, [value.strip() for value in line]) for line in reader if line]
    except csv.Error as error:
        raise BadFile(f"{path}, line {reader.line_num:,}: {error}; expected values separated by commas") from error


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        BadFile: if it is missing or not such a file.
    """
    if not path.is_file():
        raise BadFile(f"file not found: {path}")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise read_failed(path, error) from error
