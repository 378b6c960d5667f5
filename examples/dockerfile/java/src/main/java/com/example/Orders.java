package com.example;

import java.io.IOException;
import java.io.InputStream;
import java.util.Properties;

public final class Orders {
    record Order(String what, int count) {}

    public static void main(String[] arguments) throws IOException {
        var settings = new Properties();
        try (InputStream file = Orders.class.getResourceAsStream("/orders.properties")) {
            settings.load(file);
        }
        var order = new Order(settings.getProperty("what"), 3);
        System.out.println(order.count() + " " + order.what() + " on Java " + Runtime.version().feature());
    }
}
