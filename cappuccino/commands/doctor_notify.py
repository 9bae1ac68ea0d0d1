"""`cappuccino doctor notify`: does anybody hear the trader?"""

from __future__ import annotations

import requests
from rich.console import Console

from cappuccino.config.roots import DoctorNotifyConfig
from cappuccino.errors import InputError, Refusal
from cappuccino.trading.watch import notify


def run(config: DoctorNotifyConfig) -> None:
    """Send a test to every URL and say which took it, by number and scheme. Raises InputError if there is none, Refusal if one fails."""
    console = Console(soft_wrap=True)
    targets, heartbeat = notify.targets(), notify.heartbeat(config.watch.heartbeat_deadline_s)
    if not targets and heartbeat is None:
        raise InputError(f"neither {notify.NOTIFY} nor {notify.HEARTBEAT} is set; URLs are read from the environment")
    failed = 0
    for target in targets:
        taken = target.send("cappuccino: test", "A test of the trader's notifications.")
        console.print(
            f"{target.label}  {'ok' if taken else 'problem: not taken; check its URL and the service'}", highlight=False
        )
        failed += not taken
    if heartbeat is not None:
        try:
            said = "ok" if heartbeat.beat() else "problem: it answered with an error; check its URL"
        except requests.RequestException as error:
            said = f"problem: no answer ({type(error).__name__}); check its URL"
        console.print(f"heartbeat  {said}", highlight=False)
        failed += said != "ok"
    if failed:
        raise Refusal(f"{failed} of {len(targets) + (heartbeat is not None)} failed, see above")
