<?php
header("Content-Type: text/plain");
require dirname(__DIR__) . "/src/easter.php";
