"""What a holder of data must do: read, check, answer, release, purge. It never decides permission."""
