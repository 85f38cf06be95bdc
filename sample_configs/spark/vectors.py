"""Spark on a profile: a thousand vectors, inserted by the Python processes of a cluster and searched again.

What travels to a worker is the name of the profile. Each process opens one connection by that name when it first needs
it, and all of its tasks share that one. Spark ends its workers by a signal and tells them nothing before: then the
kernel closes their connections. Every machine of a cluster has the profile, and its secret, from sources of its own: a
file, a variable, a keyring.

python vectors.py [ALIAS]
"""

import math
import os
import sys

from pyspark.sql import SparkSession

import milvus_profiles as mp

COLLECTION = "vectors_of_spark"


def vector(number):
    return [math.sin(number * factor) for factor in range(1, 9)]


def insert(alias, numbers):
    with mp.connect(alias) as connection:  # opened once in a process; leaving the block only gives it back
        connection.client().insert(COLLECTION, [{"id": number, "vector": vector(number)} for number in numbers])
    yield os.getpid()


def search(alias, numbers):
    with mp.connect(alias) as connection:
        hits = connection.client().search(COLLECTION, [vector(number) for number in numbers], limit=1)
    yield os.getpid(), [hit[0]["id"] for hit in hits]


def main(alias):
    with mp.connect(alias) as connection:
        connection.client().create_collection(COLLECTION, 8, metric_type="L2", consistency_level="Strong")
        # This machine only. With a cluster, spark-submit names the master.
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        spark = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
        try:
            numbers = spark.sparkContext.parallelize(range(1000), 20)
            inserted = numbers.mapPartitions(lambda part: insert(alias, part)).collect()
            searched = numbers.mapPartitions(lambda part: search(alias, part)).collect()
        finally:
            spark.stop()
            connection.client().drop_collection(COLLECTION)
    processes = {*inserted, *(process for process, _ in searched)}
    found = [number for _, numbers in searched for number in numbers]
    print(f"{len(processes)} processes inserted 1000 vectors and found {len(set(found))}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
