"""Other people's servers, to try the client against."""
