package hostspec

// Where a restore works. What it brings lies beside the live data until it is switched in whole;
// afterwards the same places hold what was live before.
const (
	RestoreDir     = DataDir + "/restore"
	RestoreFiles   = RestoreDir + "/files"
	RestoreJournal = RestoreDir + "/journal.json"
	// RestoreUnfinished exists only while the journal says that a restore is in the middle of its cutover: whoever takes
	// the host's lock can see it without reading the journal.
	RestoreUnfinished = RestoreDir + "/unfinished"
	// AsideDatabase is the suffix of the database that is not live.
	AsideDatabase = "_aside"
	// HostopsCommand runs hostops on the host as root, with everything that it may need.
	HostopsCommand = EtcDir + "/hostops"
)

// MediaQueue is the Redis list from which the media worker takes the IDs of jobs (app-contract §5).
const MediaQueue = "media:jobs:queue"
