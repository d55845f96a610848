"""How the encoder's weights are made: texts of the project's own and public sets, one command from data to weights."""
