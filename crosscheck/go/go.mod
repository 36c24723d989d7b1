module xinglin/crosscheck

go 1.21
