module example.com/acme/where

go 1.19
