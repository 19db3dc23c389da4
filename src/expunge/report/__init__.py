"""What a person reads of a comparison: a one-file page, a table in the terminal, figures as JSON.

`evidence` and `verdict` are plain values and cheap to import; `plots` brings matplotlib along.
"""
