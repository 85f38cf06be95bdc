"""Dask on a profile: a thousand vectors, inserted by the processes of a cluster and searched again.

What travels to a worker is the name of the profile. Each process opens one connection by that name when it first needs
it, all of its tasks share that one, and the plugin closes it when the worker ends. Every machine of a cluster has the
profile, and its secret, from sources of its own: a file, a variable, a keyring.

python vectors.py [ALIAS]
"""

import math
import os
import sys

from distributed import Client, LocalCluster, WorkerPlugin

import milvus_profiles as mp

COLLECTION = "vectors_of_dask"


class Milvus(WorkerPlugin):
    def teardown(self, **_: object):
        mp.disconnect_all()


def vector(number):
    return [math.sin(number * factor) for factor in range(1, 9)]


def insert(alias, numbers):
    with mp.connect(alias) as connection:  # opened once in a process; leaving the block only gives it back
        connection.client().insert(COLLECTION, [{"id": number, "vector": vector(number)} for number in numbers])
    return os.getpid()


def search(alias, numbers):
    with mp.connect(alias) as connection:
        hits = connection.client().search(COLLECTION, [vector(number) for number in numbers], limit=1)
    return os.getpid(), [hit[0]["id"] for hit in hits]


def main(alias):
    parts = [range(first, first + 50) for first in range(0, 1000, 50)]
    with mp.connect(alias) as connection:
        connection.client().create_collection(COLLECTION, 8, metric_type="L2", consistency_level="Strong")
        try:
            # This machine only. With a scheduler elsewhere: Client("tls://scheduler:8786").
            with (
                LocalCluster(n_workers=2, threads_per_worker=2, host="127.0.0.1", dashboard_address=None) as cluster,
                Client(cluster) as dask,
            ):
                dask.register_plugin(Milvus())
                inserted = dask.gather(dask.map(insert, [alias] * len(parts), parts))
                searched = dask.gather(dask.map(search, [alias] * len(parts), parts))
        finally:
            connection.client().drop_collection(COLLECTION)
    processes = {*inserted, *(process for process, _ in searched)}
    found = [number for _, numbers in searched for number in numbers]
    print(f"{len(processes)} processes inserted 1000 vectors and found {len(set(found))}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
