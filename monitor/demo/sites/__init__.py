"""The sites of the sample newsroom, each with the habits and the flaws of its kind."""
