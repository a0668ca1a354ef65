"""What Flower serves: its pages behind a password, with the states of tasks as Longshore means them."""
