"""The desk's console: pages for people and an API for programs, over one ledger.

    from excise.desk.console.app import create_app

    app = create_app("sqlite:///desk.db", Settings())     # ASGI; `serving.run` listens

From the outside in: `access` (the log), `headers`, `limits` and `bodies` (how often, how much),
`roles` (who), `api`, `pages` and `live` (what), `state` (the ledger and answers that still hold).
What strangers send goes through `uploads`, `archive` and `pictures`. docs/desk-console.md tells
what it defends against, and which role may what.
"""
