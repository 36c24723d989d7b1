"""Every limit, with its reason. A limit that is reached has a code of its own."""

# -- transactions
TX_BYTES_MAX = 64 * 1024          # an ML-DSA-65 signature (3,309 B) and 1,000 commitments fit; bulk goes to the vault
MESSAGES_PER_TX_MAX = 64          # a large import is chunked; all or nothing stays cheap to undo
SIGNERS_PER_TX_MAX = 16           # holder, patient, witnesses; approvals by many are counted in state
SIGNATURE_BYTES_MAX = 4_096       # composite: 64 + 3,309
KEY_BYTES_MAX = 2_048             # composite: 32 + 1,952
TX_WINDOW_MS = 10 * 60_000        # how far ahead an expiry may lie
TX_LONG_WINDOW_MS = 24 * 3_600_000  # when every message is of a listed type
TAG_CHARS_MAX = 48

# -- accounts and quotas
KEYS_BROUGHT_MAX = 16             # by an account itself: a phone, a laptop, a wallet, and what they replaced
KEYS_PER_ACCOUNT_MAX = KEYS_BROUGHT_MAX + 1    # and the one that others vote for, which no key can keep out
KEY_OVERLAP_MS_MAX = 31 * 24 * 3_600_000   # a replaced key signs on until every machine has the new one
KEY_KEPT_MS = TX_LONG_WINDOW_MS   # a key that ended longer ago makes nothing includable, and may give up its place
LANE_PER_SUBJECT_DAY_MAX = 64     # unsponsored messages of one subject a day
MEMBERS_MAX = 1_000               # of one network: a motion and a second's payers each fit a row; more is many networks
PAYERS_PER_BLOCK_MAX = MEMBERS_MAX
INVITED_PER_MEMBER_MAX = 100      # newcomers of one proposer that wait for votes; a mistaken invitation stays open

# -- blocks
BLOCK_TXS_MAX = 512               # a commit stays below 0.1 s
BLOCK_BYTES_MAX = 8 * 1024 * 1024
TIMERS_PER_BLOCK_MAX = 1_000      # the rest is carried over to the next block
EVENT_BYTES_MAX = 64 * 1024       # an envelope and an event for each message; ModuleSet checks that they fit
ROW_BYTES_MAX = 64 * 1024

# -- the embedded engine
BLOCK_UNITS_MAX = 8_192           # in a block that is made here: 512 of the dearest transactions would take seconds
QUEUE_TXS_MAX = 8_192             # about a second of work; then busy
QUEUE_TXS_PER_MEMBER_MAX = 2_048  # one member cannot fill it alone
QUEUE_TXS_PER_SUBJECT_MAX = 64    # nor one of its patients its part
SUBJECTS_PER_SECOND = 16          # a subject may use this part of what its payer has for a second
DISTRUST_MS = 10_000              # garbage in a member's name: so long signatures are verified at the door
SIGNATURE_CHUNK_MIN = 16          # transactions sent to the helper process at once: what 64 clients keep in turn
SIGNATURE_CHUNK_MAX = 64          # when many wait: a larger block costs a twelfth less a transaction
CLOCK_BEHIND_MS_MAX = 5_000       # a clock further behind the tip refuses to start

# -- the store and the state tree
STORE_WRITE_BUFFER_BYTES = 32 * 1024 * 1024    # some 25,000 transactions; at 64 MB a put costs half more
STORE_BLOCK_CACHE_BYTES = 128 * 1024 * 1024    # the upper blocks and filters of 10^7 keys
TREE_PLACES_MAX = 2**29           # a node fits 30 bits of the journal; a billion leaves, whose heap is 35 GB
TREE_JOURNAL_ENTRIES_MIN = 131_072  # touched buckets between two snapshots: half a second of replay
SCRUB_ROWS_PER_STEP = 256         # some 5 ms between two blocks
SCRUB_LEAVES_PER_STEP = 512       # as many, or the one block that has more
SCRUB_EVERY_MS = 1_000            # a million rows and as many transactions in two hours

# -- genesis
NAME_CHARS_MAX = 29               # chain id = name + "-sim" + "-" + 16 hex digits, at most 50
FOUNDERS_MAX = 100
CHECKPOINT_KEYS_MAX = 100
PAGE_PARTS_MAX = 1_000            # keys and nonces of a page travel in one HPKE wrap

# -- consent
GRANTS_PER_ROW_MAX = 32           # per (subject, organisation); a closed one makes room
GRANT_HOURS_MAX = 24 * 366 * 10   # ten years: nobody remembers an older one

# -- records
RECORDS_PER_BATCH_MAX = 100_000

# -- members
VOTE_UNITS = 64                   # what a vote costs: it looks up, twice, up to 200 who voted before

# -- access
REQUESTS_PER_DAY_MAX = 1_000      # about one subject by one organisation: one in 90 s, day and night
DENIED_PER_DAY_MAX = 32           # of these without a consent: a mistake and its repeats, not a flood of her list
REQUESTS_OPEN_MAX = 16            # of these at once: some 10 ms each are a small part of the time to answer
REQUEST_UNITS = 32                # what asking costs: a holder answers some 100 a second, a member then asks some 150
ANSWER_MS = 60_000                # how long a holder may take, unless genesis says otherwise
PERMIT_MS_MAX = 15 * 60_000       # a permit is for now, not for later
PAGE_PARTS = 16                   # parts a page of a release
TIP_AGE_MS_MAX = 10_000           # release needs a tip not older than this
ANCHOR_MS = 60_000                # the read log is anchored at least this often while there are reads

# What the rules of a ledger use, so that the hash of its module set names it (docs/spec/genesis.md).
OF_THE_RULES = (
    "TX_BYTES_MAX", "MESSAGES_PER_TX_MAX", "SIGNERS_PER_TX_MAX", "SIGNATURE_BYTES_MAX", "KEY_BYTES_MAX",
    "TX_WINDOW_MS", "TX_LONG_WINDOW_MS", "TAG_CHARS_MAX", "KEYS_BROUGHT_MAX", "KEYS_PER_ACCOUNT_MAX",
    "KEY_OVERLAP_MS_MAX", "KEY_KEPT_MS",
    "LANE_PER_SUBJECT_DAY_MAX", "MEMBERS_MAX", "PAYERS_PER_BLOCK_MAX", "INVITED_PER_MEMBER_MAX",
    "TIMERS_PER_BLOCK_MAX", "EVENT_BYTES_MAX", "ROW_BYTES_MAX", "NAME_CHARS_MAX", "FOUNDERS_MAX",
    "CHECKPOINT_KEYS_MAX", "PAGE_PARTS_MAX", "GRANTS_PER_ROW_MAX", "GRANT_HOURS_MAX", "RECORDS_PER_BATCH_MAX",
    "VOTE_UNITS", "REQUESTS_PER_DAY_MAX", "DENIED_PER_DAY_MAX", "REQUESTS_OPEN_MAX", "REQUEST_UNITS", "PERMIT_MS_MAX",
)

# -- holder and vault
BLOB_BYTES_MAX = 1024 * 1024 * 1024     # a segment is held in memory once, while it is written
CELL_BYTES_MAX = 32 * 1024 * 1024       # a subject's sealed index: 20,000 resources are about 2 MB
CELL_NAME_BYTES_MAX = 64                # two hashes
ROWS_PER_READ_MAX = 10_000              # a page of a read log; ask again for more
RECORDS_PER_IMPORT_BATCH = 5_000    # a large import goes in chunks; a segment stays below about 100 MB
CLAIM_CODE_MS = 15 * 60_000
CLAIM_CODE_TRIES_MAX = 5
RESOURCE_BYTES_MAX = 16 * 1024 * 1024   # one FHIR resource; larger attachments are refused, not cut
INPUT_FILE_BYTES_MAX = 1024 * 1024 * 1024
JSON_DEPTH_MAX = 64
JSON_NUMBER_CHARS_MAX = 64        # FHIR asks for 18 digits; longer ones only cost time
JSON_VALUES_MAX = 1_000_000       # of one resource: R4's own have one in 20 bytes; a value takes 100 bytes of memory
BUNDLE_BYTES_MAX = 128 * 1024 * 1024    # a bundle is read whole, at ten times its size; larger sets come as NDJSON
BUNDLE_VALUES_MAX = 8_000_000     # as of a resource
INPUT_LINES_MAX = 2_000_000       # of one file, empty ones too: twice the resources of an import
UNPACKED_PER_PACKED_MAX = 200     # bytes: gzip makes FHIR some 15 times smaller, empty lines 1,000 times
UNPACKED_BYTES_FREE = 1024 * 1024 # before anybody counts
SOURCE_RESOURCES_MAX = 1_000_000  # of one import; their bytes are held until it is planned
SOURCE_BYTES_MAX = 2 * 1024 * 1024 * 1024   # of them together, in memory
SEGMENT_BYTES = 64 * 1024 * 1024  # of an import's chunk; a segment is held in memory while it is sealed
INDEX_BYTES = 8 * 1024 * 1024     # of a chunk's words in the sealed index, whose places and keys come on top
SOURCE_NAME_CHARS_MAX = 40        # a word for where an import comes from
HEAD_CODES_MAX = 32               # principal codes of one record in its head, which each search opens
REPORT_PROBLEMS_MAX = 1_000
WORDS_CHARS_MAX = 2_000           # a reason or the sentence of a consent: read in a minute
BODY_BYTES_MAX = 16 * 1024        # a consent or request body
PROOF_FILE_BYTES_MAX = 64 * 1024 * 1024
MANIFEST_BYTES_MAX = 1024 * 1024
LEAF_BYTES_MAX = 1024
PATH_STEPS_MAX = 64               # a history of 2^64 leaves
NOTE_BYTES_MAX = 16 * 1024        # a checkpoint and some hundred signature lines
COMPLETE_ENTRIES_MAX = PROOF_FILE_BYTES_MAX // 64   # an entry has more bytes: what the file holds is the limit
DELIVERIES_WAITING_MAX = 256      # of one member's people: handed over, and not on the ledger yet
DELIVERIES_WAITING_PER_SUBJECT_MAX = 16
CONSENTS_KEPT_MAX = 4_096         # bodies of one subject's grants, as a wallet's
SHELF_RECORDS_MAX = 20_000        # of which a holder keeps places, keys and nonces in memory: about 30 MB
ANSWERS_SERVED_MAX = 1_000        # of which a holder keeps the tree in memory: hashes, no key
MEMORY_IDLE_MS = 60_000           # what was not used for so long is let go of
IMPORTS_UNDER_WAY_MAX = 256       # batches ordered and not yet durable; then the import waits
BATCHES_PER_OWNER_MAX = 100_000   # imports of one patient: one a day for 270 years
CHALLENGE_MS = 2 * 60_000         # from drawing a challenge to signing it
CHALLENGES_PER_SUBJECT_MAX = 64   # signed in that time; nothing is kept of the others

# -- witnesses and what is published
TREE_SIZE_MAX = 2**63 - 1         # leaves of a history: its places are U63
PUBLISH_MS = 1_000                # at most one checkpoint in so long is published and shown to witnesses
POLICY_BYTES_MAX = 64 * 1024      # 32 logs, 32 witnesses and 32 groups are some 8 KB
POLICY_LINES_MAX = 1_000
SUCCESSORS_BYTES_MAX = 1024 * 1024     # some 3,000 changes of a checkpoint key
WITNESS_PATH_MAX = 63             # lines of a consistency proof, by the protocol
WITNESS_BODY_BYTES_MAX = 24 * 1024      # 63 lines of proof and a checkpoint of 16 KB
WITNESS_ANSWER_BYTES_MAX = 16 * 1024    # signature lines of one witness
WITNESS_HEAD_BYTES_MAX = 16 * 1024      # of a request or an answer, and of any number of 100 Continue before it
WITNESS_TIMEOUT_MS = 5_000        # a whole exchange: who hangs or trickles holds up one publication, or one place
WITNESS_CONNECTIONS_MAX = 64      # a thread each
WITNESS_CONNECTIONS_PER_PEER_MAX = 8        # of one address: a stranger leaves places to the others
WITNESS_LINE_EVERY_MS = 10_000    # on stderr, of each kind: strangers cause them, and must not fill a disk
WITNESS_LINE_CHARACTERS_MAX = 200
WITNESS_LOGS_MAX = 1_000          # lines of a witness's list of logs
WITNESS_EVIDENCE_MAX = 100        # files a log: it could make as many as it likes
TILES_AT_ONCE = 64                # between two blocks: half a megabyte
COSIGNED_LOOKED_AT_MAX = 100      # newest first, for what a witness cosigned last
PUBLISHED_LOOKED_AT_MAX = 10_000  # newest first, for one that a policy's witnesses cosigned

# -- client
PASSPHRASE_BYTES_MAX = 1_024      # a pasted file is not a passphrase
WALLET_BYTES_MAX = 64 * 1024 * 1024     # read whole, opened whole
WALLET_SUBJECTS_MAX = 1_024       # one a holder; a guardian has several people's
WALLET_GRANTS_MAX = 4_096         # 32 open ones a holder, and their history
WALLET_NOTES_MAX = 4_096
WALLET_LABEL_CHARS_MAX = 80       # a word for a hospital, on one line
CARD_NAME_CHARS_MAX = 120         # of an organisation or a person, on one line
NOTE_BYTES_MAX = 16 * 1024        # as a body
