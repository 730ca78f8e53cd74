// KafkaJS: `join` is a member of a group until SIGTERM.
//
// It prints records, lines of `partition TAB key TAB value`, `= TAB 0,2` whenever its partitions
// change, and `+ TAB partition TAB offset` when a commit was acknowledged.

const { Kafka, logLevel } = require("kafkajs");

async function join(servers, topic, groupId, clientId) {
  const brokers = servers.split(",");
  // Its warnings go to stderr; below them it would write to stdout.
  const kafka = new Kafka({ brokers, clientId, logLevel: logLevel.WARN });
  const consumer = kafka.consumer({
    groupId,
    heartbeatInterval: 500,
    maxWaitTimeInMs: 100,
    sessionTimeout: 6000,
    retry: { initialRetryTime: 100 },
  });
  const report = (partitions) => process.stdout.write(`=\t${partitions.join(",")}\n`);
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
    report(payload.memberAssignment[topic] ?? []));
  consumer.on(consumer.events.REBALANCING, () => report([]));
  consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => {
    for (const { partition, offset } of payload.topics.flatMap((topic) => topic.partitions)) {
      process.stdout.write(`+\t${partition}\t${offset}\n`);
    }
  });
  const stopped = new Promise((resolve) => process.once("SIGTERM", resolve));
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    console.error(payload.error);
    // Where it restarts, it goes on as a new member.
    if (payload.restart) report([]);
    else process.exitCode = 1;
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      const fields = [Buffer.from(`${partition}\t`), message.key, Buffer.from("\t"),
        message.value, Buffer.from("\n")];
      process.stdout.write(Buffer.concat(fields));
    },
  });
  await stopped;
  await consumer.disconnect();
}

join(...process.argv.slice(3));
