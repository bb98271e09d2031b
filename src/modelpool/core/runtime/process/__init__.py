"""Models in processes of their own: how these are forked, asked, watched, and given up."""
