"""The command `sensor-assets`: what a person does with a team's ledger. Not imported by the library."""
