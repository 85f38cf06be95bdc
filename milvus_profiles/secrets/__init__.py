"""From a secret reference to a token: the keyring, bound to endpoints, and literals, variables, files and commands.

Nothing here knows where a profile was declared or whether its file is trusted: whoever asks for a secret has decided
that before.
"""
