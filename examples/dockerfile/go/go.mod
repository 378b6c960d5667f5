module example.com/acme/server

go 1.19
