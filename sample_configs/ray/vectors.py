"""Ray on a profile: a thousand vectors, inserted by the processes of a cluster and searched again.

What travels to an actor is the name of the profile. Each actor is a process, opens one connection by that name when it
starts, and closes it before it ends. Every machine of a cluster has the profile, and its secret, from sources of its
own: a file, a variable, a keyring.

python vectors.py [ALIAS]
"""

import math
import os
import sys

import ray
from ray.util import ActorPool

import milvus_profiles as mp

COLLECTION = "vectors_of_ray"


def vector(number):
    return [math.sin(number * factor) for factor in range(1, 9)]


@ray.remote
class Vectors:
    def __init__(self, alias):
        self.connection = mp.connect(alias)

    def insert(self, numbers):
        rows = [{"id": number, "vector": vector(number)} for number in numbers]
        self.connection.client().insert(COLLECTION, rows)
        return os.getpid()

    def search(self, numbers):
        hits = self.connection.client().search(COLLECTION, [vector(number) for number in numbers], limit=1)
        return os.getpid(), [hit[0]["id"] for hit in hits]

    def close(self):
        mp.disconnect_all()


def main(alias):
    parts = [range(first, first + 50) for first in range(0, 1000, 50)]
    with mp.connect(alias) as connection:
        connection.client().create_collection(COLLECTION, 8, metric_type="L2", consistency_level="Strong")
        # This machine only. With a cluster: ray.init("auto").
        ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1")
        try:
            actors = [Vectors.remote(alias) for _ in range(2)]
            pool = ActorPool(actors)
            inserted = list(pool.map(lambda actor, part: actor.insert.remote(part), parts))
            searched = list(pool.map(lambda actor, part: actor.search.remote(part), parts))
            ray.get([actor.close.remote() for actor in actors])
        finally:
            ray.shutdown()
            connection.client().drop_collection(COLLECTION)
    processes = {*inserted, *(process for process, _ in searched)}
    found = [number for _, numbers in searched for number in numbers]
    print(f"{len(processes)} processes inserted 1000 vectors and found {len(set(found))}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
