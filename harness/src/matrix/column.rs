//! The columns of the matrix: classes of faults by name, as data.

/// One column.
#[derive(Debug)]
pub struct Column {
    /// Its name, for `--columns`.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// How much one run of it costs beside one of the cheapest; the cheapest are run first.
    pub cost: u32,
    /// The faults that make the column, by name; others of its runs only help to show the effect.
    pub faults: &'static [&'static str],
}

/// All columns, in the order of the page; the first is the control without faults.
pub const COLUMNS: &[Column] = &[
    Column {
        name: "none",
        description: "no fault at all: the control",
        cost: 1,
        faults: &[],
    },
    Column {
        name: "client-kill",
        description: "SIGKILL of clients",
        cost: 1,
        faults: &["client-kill"],
    },
    Column {
        name: "client-pause",
        description: "SIGSTOP of clients beyond their session: zombies",
        cost: 2,
        faults: &["client-pause"],
    },
    Column {
        name: "group-churn",
        description: "members join, leave and die all the time",
        cost: 2,
        faults: &["client-leave", "client-kill"],
    },
    Column {
        name: "leader-kill",
        description: "SIGKILL of leaders",
        cost: 1,
        faults: &["kill"],
    },
    Column {
        name: "coordinator-kill",
        description: "SIGKILL of the coordinator of the group",
        cost: 1,
        faults: &["kill"],
    },
    Column {
        name: "controller-kill",
        description: "SIGKILL of the controller",
        cost: 1,
        faults: &["kill"],
    },
    Column {
        name: "all-kill",
        description: "SIGKILL of all brokers at once",
        cost: 2,
        faults: &["kill"],
    },
    Column {
        name: "pause",
        description: "SIGSTOP of brokers, then SIGCONT: zombies",
        cost: 1,
        faults: &["pause"],
    },
    Column {
        name: "partition",
        description: "cut links: isolated leaders and followers, one-way, partial",
        cost: 1,
        faults: &["partition"],
    },
    Column {
        name: "ack-lost",
        description: "answers to produce requests and commits get lost",
        cost: 1,
        faults: &["frame"],
    },
    Column {
        name: "disk-stall",
        description: "log directories hang",
        cost: 3,
        faults: &["disk"],
    },
    Column {
        name: "disk-error",
        description: "operations on log directories fail",
        cost: 2,
        faults: &["disk"],
    },
    Column {
        name: "disk-full",
        description: "log directories fill up and are freed",
        cost: 2,
        faults: &["disk"],
    },
    Column {
        name: "power-loss-one",
        description: "one broker loses its power",
        cost: 2,
        faults: &["power-loss"],
    },
    Column {
        name: "power-loss-all",
        description: "all brokers lose their power",
        cost: 2,
        faults: &["power-loss"],
    },
    Column {
        name: "corruption",
        description: "one broker comes back with damaged files",
        cost: 2,
        faults: &["damage"],
    },
    Column {
        name: "reassignment",
        description: "partitions move to other brokers under load",
        cost: 2,
        faults: &[],
    },
    Column {
        name: "min-isr-change",
        description: "min.insync.replicas changes under load",
        cost: 1,
        faults: &["min-isr"],
    },
];

/// The column called `name`.
pub fn find(name: &str) -> Option<&'static Column> {
    COLUMNS.iter().find(|column| column.name == name)
}

/// The names, for messages.
pub fn names() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    names.join(", ")
}
