<?php
$year = (int) ($argv[1] ?? date("Y"));
echo date("Y-m-d", strtotime("$year-03-21 +" . easter_days($year) . " days")), "\n";
