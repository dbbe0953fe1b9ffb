#!/usr/bin/env python3
"""Asks Tributary a question and prints what it finds with citations.

Usage: KEY=trib_... [URL=http://127.0.0.1:8080] [READER=id SIGNING_KEY=portal.key KEY_ID=kid] ./search.py QUESTION
"""

import os
import sys

from tributary import Client, Problem, Signer


def main():
    if len(sys.argv) != 2 or not os.environ.get("KEY"):
        print(__doc__, file=sys.stderr)
        return 1
    signer = None
    if os.environ.get("READER"):
        signer = Signer(os.environ["READER"], os.environ["SIGNING_KEY"], os.environ["KEY_ID"])

    def waiting(problem, seconds):
        print(f"busy ({problem.code}): trying again in {seconds} s", file=sys.stderr)

    client = Client(os.environ.get("URL", "http://127.0.0.1:8080"), os.environ["KEY"], signer, waiting=waiting)
    try:
        answer = client.search(sys.argv[1], k=5)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 3 if problem.status in (401, 403) else 1
    for i, r in enumerate(answer["results"], start=1):
        print(f"{i}. {' › '.join([r['title'], *r['heading_path']])}")
        print("   " + r["text"].replace("\n", "\n   "))
        print(f"   [{r['connection']}, revision {r['revision']}, characters {r['start_cp']}–{r['end_cp']}, chunk {r['chunk_id']}] {r['url']}")
    if "hint" in answer:
        print("nothing found: " + answer["hint"])
    if not answer["complete"]:
        print("this answer may lack something")
    for connection, at in answer["permissions_as_of"].items():
        print(f"permissions of {connection} as of {at}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
