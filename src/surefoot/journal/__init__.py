"""journal: facts go up. Each process appends what happens to a folder of its own in the home; readers find it there.

    home/writers/<writer id>/pulse                locked as long as the writer lives; gone when it ended in order
                             runs-000000.seg      facts about runs, frame after frame
                             logs-000000.seg      log lines, with a budget of their own

Keeps promise 7 (the last line before the crash is in the log), and 4 and 8 as far as files of one machine go.
May import: core.
"""
