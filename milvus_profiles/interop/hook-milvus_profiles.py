# ruff: noqa: N999  # PyInstaller's name for it
"""What PyInstaller puts into a frozen program besides what it finds by reading imports."""

from __future__ import annotations

from importlib.metadata import files

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

hiddenimports = [
    # The plugin of pytest would bring pytest along; this file and what belongs to it is of no use there.
    *collect_submodules("milvus_profiles", filter=lambda name: name != "milvus_profiles.testing" and "-" not in name),
    # Backends are found by the entry points of the distribution, which those of others join.
    *collect_submodules("keyring.backends"),
    # What is compiled by mypyc imports a module beside its own, whose name only its compiled code knows.
    *(found.name.partition(".")[0] for found in files("tomli") or () if "__mypyc." in found.name),
]
# The version of this package, what it requires and in which releases: `doctor` judges that.
datas = copy_metadata("milvus-profiles", recursive=True)
# The pages of `explain`.
datas += collect_data_files("milvus_profiles", includes=["explanations/*.md"])
