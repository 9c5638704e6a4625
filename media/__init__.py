"""How packets move.  Knows ids, not meanings."""
