"""From a secret reference to a token; whoever asks for one has decided whether the profile's file is trusted."""
