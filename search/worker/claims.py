"""What a worker runs next: leases are claimed, and asked for as seldom as nothing is to be had."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Mapping, Sequence

from search.child.seat import Seat
from search.database.fence import FencedStorage
from search.database.leases import Lease, Openings
from search.errors import SearchError
from search.rules.content import short, stored_hash
from search.settings import Settings
from search.studies.limits import stop_growing
from search.studies.stop import last_stop
from search.studies.study import stored
from search.worker.joined_study import JoinedStudy


class Claims:
    """Those of one worker, whose name in them is ``holder``."""

    def __init__(self, storage: FencedStorage, holder: str, settings: Settings) -> None:
        self.closed: dict[str, SearchError] = {}
        """Why nothing more of a study, by its key, can be run here."""
        self._storage, self._holder, self._settings = storage, holder, settings
        self._nonces: dict[Seat, str] = {}
        """Of a claim that was not answered yet, or of which no trial has begun."""
        self._ended: set[str] = set()
        """The keys of those that a limit had ended at the last look; it may be raised."""
        self._growing: set[str] = set()
        """The keys of those whose budget grows as long as no limit ends them."""
        self._openings: dict[str, Openings] | None = None
        """At the last look that found nothing; None: something was to be had since."""
        self._at, self._pause = 0.0, settings.poll

    def are_due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() >= self._at

    def look_soon(self) -> None:
        """Something has ended here: what it leaves may be to be had."""
        self._at, self._pause, self._openings = 0.0, self._settings.poll, None

    def used_up(self, keys: Sequence[str]) -> bool:
        """Whether no unit of these studies' budgets is left, at the last look. A dead worker's leases are left.

        Of a study that a limit has ended, those that somebody still trains under.
        """
        if self._openings is None or self._growing.intersection(self._open(keys)):
            return False
        found = ((key, self._openings[key]) for key in self._open(keys) if key in self._openings)
        return not any(one.held if key in self._ended else one.unfinished for key, one in found)

    def _open(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key not in self.closed]

    def claim(self, seat: Seat, joined: Mapping[str, JoinedStudy], keys: Sequence[str]) -> Lease | None:
        """A lease for this seat, which ``begun`` is then told. None: look again when they are due."""
        if seat in self._nonces:  # the answer to a claim was lost
            lease = self._storage.leases.claimed(self._nonces[seat])
            if lease is not None:
                return lease
        wanted = self._open(keys)
        if self._openings is None or self._is_something_free(wanted, joined):
            for key in wanted:
                if self._goes_on(joined[key]) and (lease := self._claim_of(seat, joined[key])):
                    return lease
        self._nonces.pop(seat, None)
        self._wait(self._open(keys))
        return None

    def begun(self, seat: Seat) -> None:
        """Its trial has begun: the claim need not be remembered."""
        del self._nonces[seat]
        self.look_soon()

    def _claim_of(self, seat: Seat, joined: JoinedStudy) -> Lease | None:
        self._nonces[seat], leases, host = secrets.token_hex(8), self._storage.leases, socket.gethostname()
        lease = leases.claim(joined.study.key, self._holder, host, self._nonces[seat])
        if lease is None and self._is_alone(joined):
            lease = leases.claim(joined.study.key, self._holder, host, self._nonces[seat], left=True)
        if lease is None and joined.limits.endless:
            if leases.extend(joined.study.key):
                lease = leases.claim(joined.study.key, self._holder, host, self._nonces[seat])
            else:  # whoever ended it was killed before the last word
                stop_growing(self._storage.engine, joined.study)
        return lease

    def _is_alone(self, joined: JoinedStudy) -> bool:
        """What failed here was left to others: where there are none, it is tried here again."""
        return joined.left_to_others and not joined.has_others()

    def _is_something_free(self, keys: Sequence[str], joined: Mapping[str, JoinedStudy]) -> bool:
        """One statement, however many studies and seats."""
        self._openings = openings = self._storage.leases.openings(keys, self._holder)
        if any(joined[key].limits.endless for key in keys):
            return True
        return any(one.free or (one.left and joined[key].left_to_others) for key, one in openings.items())

    def _wait(self, keys: Sequence[str]) -> None:
        if self._openings is None:
            self._openings = self._storage.leases.openings(keys, self._holder)
        self._at = time.monotonic() + self._pause
        self._pause = min(self._settings.poll_at_most, 1.5 * self._pause)

    def _goes_on(self, joined: JoinedStudy) -> bool:
        """False where the study was deleted, stopped, or goes by another file, for which the reason is kept; and where
        a limit has ended it."""
        study = joined.study
        now = stored(self._storage.engine, study)
        if now is None:
            self.closed[study.key] = SearchError(
                f"the study {study.name!r} was deleted. Begin anew: make search STUDY={study.name}"
            )
        elif (by := stored_hash(now.definition)) != stored_hash(study.definition):
            self.closed[study.key] = SearchError(
                f"somebody said yes to another content of {study.objective}: {short(by)}, here it is "
                f"{short(stored_hash(study.definition))}. Fetch it, then type the command again."
            )
        elif why := last_stop(self._storage.engine, study).get("why"):
            self.closed[study.key] = SearchError(why)
        elif (ended := joined.what_ended()) is None:
            self._ended.discard(study.key)
        elif study.key not in self._ended:
            joined.say(f"{study.name}: {ended.why}")
            self._ended.add(study.key)
        goes_on = study.key not in self.closed and study.key not in self._ended
        if goes_on and joined.limits.endless:
            self._growing.add(study.key)
        else:
            self._growing.discard(study.key)
        return goes_on
