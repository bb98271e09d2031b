"""The self-test of the jail: made by processes of models, so it stands above them."""
