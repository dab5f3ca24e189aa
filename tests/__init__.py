# A package, as torch-fidelity installs one of this name, which would hide a mere folder.
