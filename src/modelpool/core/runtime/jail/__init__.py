"""What keeps a model process from doing harm: its layers, what they must stop, and the test that they do."""
