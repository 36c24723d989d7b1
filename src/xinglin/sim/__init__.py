"""A whole network from one seed, in one process and simulated time. Production never needs it.

chance    what the seed chooses                       world     node, data rooms, people; crash and restart
oracle    plain dicts: who may read what              charts    what is imported, and what of it a grant opens
shadow    every block once more, on other code        workload  patients, readers and their holders
watch     what must hold after each step              organisations bare faults   what else happens
run       a seed from founding to its last round      deeds     how often each thing happens

A failure says `xinglin sim --seed N --steps M`, which repeats it with M the step that showed it.
"""
