"""One file a version, oldest first; a file that was released is never changed."""
