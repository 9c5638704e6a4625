"""The rows of the HTTP interface and one small handler each, by what they are about (``gateway/api.py``)."""
