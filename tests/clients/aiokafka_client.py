"""aiokafka: `join` is a member of a group until SIGTERM.

It prints records, lines of `partition TAB key TAB value`, and `= TAB 0,2` whenever its partitions
change.
"""

import asyncio
import signal
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener


class Report(ConsumerRebalanceListener):
    async def on_partitions_assigned(self, assigned):
        print("=", ",".join(str(p.partition) for p in assigned), sep="\t", flush=True)

    async def on_partitions_revoked(self, revoked):
        await self.on_partitions_assigned([])


async def join(servers, topic, group, name):
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, group_id=group, client_id=name,
        auto_offset_reset="earliest", heartbeat_interval_ms=500, auto_commit_interval_ms=100)
    consumer.subscribe([topic], listener=Report())
    await consumer.start()
    while not stopping.is_set():
        for records in (await consumer.getmany(timeout_ms=100)).values():
            for record in records:
                fields = str(record.partition).encode(), record.key, record.value
                sys.stdout.buffer.write(b"\t".join(fields) + b"\n")
        sys.stdout.buffer.flush()
    await consumer.stop()


asyncio.run(join(*sys.argv[2:6]))
