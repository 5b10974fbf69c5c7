"""Become the process that was asked for, tied to the one that asked.

Run as a script (`python -I -S child.py OPTIONS -- COMMAND...`), never imported: it uses nothing but the standard
library, takes about 10 ms, and replaces itself by COMMAND. Doing this in a fresh interpreter rather than in a hook
between fork and exec keeps it safe whatever threads the parent has.

Options:
    --parent PID         exit at once when PID is no longer the parent
    --death-signal N     have Linux send signal N to COMMAND when the thread that started it ends (prctl(2))
    --announce FD KIND   write "KIND pid" to FD before COMMAND starts, so that the guardian knows of it in every case
    --user UID GID       run COMMAND as this user, with no further groups
    --traverse           with --user: let COMMAND pass directories that only root may pass, and nothing else that
                         root may do (a clone below /root has no path that another user could reach)
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522

VALUES = {"--parent": 1, "--death-signal": 1, "--announce": 2, "--user": 2, "--traverse": 0}
"""How many values each option has."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: int) -> bool:
    padded = [*arguments, 0, 0, 0, 0][:4]
    return _libc().prctl(option, *(ctypes.c_ulong(value) for value in padded)) == 0


def _set_capability(capability: int) -> bool:
    """Hold one capability, through exec as well (capabilities(7): it must be inheritable to become ambient)."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    mask = 1 << capability
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    return _libc().capset(header, data) == 0 and _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def _become(uid: int, gid: int, *, traverse: bool) -> None:
    if traverse:
        _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    # Containers usually keep DAC_OVERRIDE and drop DAC_READ_SEARCH, which would be enough.
    if traverse and not (_set_capability(CAP_DAC_READ_SEARCH) or _set_capability(CAP_DAC_OVERRIDE)):
        sys.exit(f"user {uid} cannot enter this directory: start as a user other than root, or move the clone")


def _parse(arguments: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the options with their values, and the command. argparse would take as long as all the rest."""
    options: dict[str, list[str]] = {}
    rest = list(arguments)
    while (option := rest.pop(0)) != "--":
        options[option] = [rest.pop(0) for _ in range(VALUES[option])]
    return options, rest


def main(arguments: list[str]) -> None:
    """Do what the options say, in the order in which it must be done, and become the command."""
    options, command = _parse(arguments)
    if "--announce" in options:
        descriptor, kind = options["--announce"]
        os.write(int(descriptor), f"{kind} {os.getpid()}\n".encode())
        os.close(int(descriptor))
    if "--user" in options:
        uid, gid = map(int, options["--user"])
        try:
            _become(uid, gid, traverse="--traverse" in options)
        except OSError as error:
            sys.exit(f"cannot run as user {uid}: {error.strerror}; start as a user other than root")
    if "--death-signal" in options and sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, int(options["--death-signal"][0]))  # after the change of user, which would reset it
    if "--parent" in options and os.getppid() != int(options["--parent"][0]):
        sys.exit("the parent is gone")
    os.execvp(command[0], command)  # noqa: S606 - the command is the caller's own


if __name__ == "__main__":
    main(sys.argv[1:])
