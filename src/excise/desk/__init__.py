"""The erasure desk: from a person's request to signed evidence, every day.

`ledger/` keeps requests and a hash-chained log of all that happens to them, `vault/` the encrypted
forget data, `migrations/` the schema. Everything that comes out is a frozen dataclass of
`ledger/entities.py`; no SQLAlchemy object leaves the package. All times are aware and in UTC.

    from excise.desk.ledger import Ledger, Submission

    ledger = Ledger.init("sqlite:///desk.db")        # or open; or postgresql://...
    ledger.register_model("m", "path-or-hub-id", weights_hash, actor="ada")
    id = ledger.submit(Submission(models=("m",), data=excise.read("data/"), subject="p017",
                                  identified=True), actor="ada")
    ledger.decide(id, "accept", "no exception applies", actor="ada")     # identified -> queued

    batch = ledger.claim("w1", limit=8, lease_seconds=60)                # Batch | None
    for request in batch.requests:
        ledger.move(request.id, "forgetting", actor="w1", model=batch.model.name)
        with ledger.unlock(request.id, actor="w1", reason="forgetting") as folder:
            data = excise.read(folder)            # gone after the block, also on errors
        ledger.step(batch, "forget", "done", {"run": "runs/r-3f9a1c"}, request=request.id)
    ledger.heartbeat(batch, "w1", lease_seconds=60)                      # every few seconds
    ledger.finish(batch, "w1")

The ledger's signatures stand in `ledger/ledger.py`, the states in `ledger/states.py`, the errors in
`errors.py`, where files lie in `settings.py`.

What the worker must know
- `claim` gives the same batch (same id, its steps with it, `resumed=True`) again when its lease has
  lapsed: `batch.done("forget", request.id)` says what need not be done again. Make the thing, then
  note the step; name files by batch and request, so that a half-made one is found and replaced.
- Every writing call that names a batch raises `LeaseLost` when another worker has it by now.
- A request may be withdrawn while it is worked on: `heartbeat` returns the batch as it is now, and
  `move` raises `NotAllowed`.
- `hold(model, worker, ...)` makes one worker at a time the one that builds a release of a model;
  `release(..., after=...)` raises `Stale` if another release came in between.
- `release` is one transaction: current release, covered requests `released`, the one before
  superseded. Write and verify the folder first. A rollback is a `release` too, with `instead_of`
  and `reopen`: nothing is ever without a current release.
- `has_asked(subject, model)` says whether a person has a request (hashed here, compared there).
- `shred(id)` after the evidence is signed. What later checks need to ask (`excise desk check`, the
  audits after each batch) can be sealed apart, with a key of its own: `seal(id, folder, "probes")`.
- Figures, results of steps and reasons go into a log that nothing can be deleted from: hashes,
  figures, file names; never a name, a question, an answer or a record's id.
"""
