"""From a network and a recipe to a trained, kept and measured model."""
