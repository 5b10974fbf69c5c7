"""The platform's side: the register of teams, what is derived from it, and the platform that runs it."""
