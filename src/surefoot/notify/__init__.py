"""Messages: who is told when a flow run failed, crashed, recovered or completed, and how that reaches them.

    notices    what is told, and who is to be told    wording   the same in words
    outbox     what waits to be sent, a file each     bursts    many ends in a short time make one message
    sending    to a mail server, a webhook, Apprise   postman   a thread that sends, and who waits for it

With nothing to start: whoever has something to tell puts it into the home's outbox and sends it; what could not be
sent goes with the next process of that home. Loaded only by those who have something to tell. May import: journal,
core.
"""

__all__: list[str] = []
